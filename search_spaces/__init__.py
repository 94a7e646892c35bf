"""What is worth searching: plain declarations over the fields of a stage's configuration."""
