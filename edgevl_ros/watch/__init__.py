"""What ``edgevl watch`` listens to: the topics on which edgevl's nodes tell how they are."""
