"""Where raw files come from: folders, archives, git repositories and files of rows, here or in object stores."""
