"""What makes a dialogue: turn taking, sessions, dialogue models, speech. Knows nothing of web pages."""
