"""What a person sees: the pages, the page's socket, the login. Holds no dialogue logic."""
