"""What tests put in the place of things outside: real implementations of the same interfaces, scripted."""
