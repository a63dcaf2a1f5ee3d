"""The fuseboard command and the embedded servers."""
