"""The desk: forms that enter, correct and close statements through the public API, with the reader's own key."""
