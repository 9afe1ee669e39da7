// What `make pages` asks of the dashboard's modules, and of their tests.

import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: "error",
      "no-implicit-globals": ["error", { lexicalBindings: true }],
      "no-undef": "error",
      "no-unused-vars": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  { files: ["mixer/dashboard/**/*.js"], languageOptions: { globals: globals.browser } },
  { files: ["tests/dashboard/**/*.js"], languageOptions: { globals: globals.nodeBuiltin } },
];
