package nicoffload

// RateLimits reports whether the adapter spreads frames at their rate now: TXRTLMT is on. It implements
// link.RateLimiter.
func (d *Device) RateLimits() bool { return d.nif.features.has(rateLimit) }
