"""`kvot demo`: a whole factory on one computer, from the order to the finished piece."""
