"""What chooses the shares while a run goes on."""
