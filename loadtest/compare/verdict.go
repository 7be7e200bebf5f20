package compare

func verdict(*Report) []string { return nil }
