package pacing

import "time"

// ShareInterval is how often the shards' shares of a cap are made anew.
const ShareInterval = 10 * time.Millisecond

// Unlimited is the demand of a shard that took all it was given and has more to send.
const Unlimited = MaxRate

// Demand is what a shard that sent n bytes in d would send without a cap: all there is if the cap held it
// back, else twice what it sent, so that a shard that is speeding up meets its share late.
func Demand(n int64, d time.Duration, held bool) Rate {
	if held || d <= 0 {
		return Unlimited
	}
	return min(2*needed(n, int64(d)), Unlimited)
}

// Share divides total by max-min fairness (water filling, Bertsekas and Gallager, Data Networks, section
// 6.5.2): nobody gets less than its demand while another gets more than it. What nobody demands is divided
// equally, so that a shard that begins to send does not wait for the next division.
//
//	sum(shares) == total
//	shares[i] < demands[i]  =>  shares[i] >= shares[j] - 1 for all j
//
// shares is written; it has the length of demands.
func Share(total Rate, demands, shares []Rate) {
	left, open := int64(total), len(demands)
	for i := range shares {
		shares[i] = -1 // the water has not reached its demand
	}
	for again := true; again && open > 0; {
		again = false
		level := Rate(left / int64(open))
		for i, d := range demands {
			if shares[i] < 0 && d <= level {
				shares[i] = max(d, 0)
				left -= int64(shares[i])
				open--
				again = true
			}
		}
	}
	spread(left, open, shares)
}

// spread gives what is left to the open shares, or adds it to all of them if none is open.
func spread(left int64, open int, shares []Rate) {
	n := int64(open)
	if open == 0 {
		n = int64(len(shares))
	}
	for i := range shares {
		if open > 0 && shares[i] >= 0 {
			continue
		}
		part := (left + n - 1) / n // the first ones take the bytes that do not divide
		shares[i] = max(shares[i], 0) + Rate(part)
		left -= part
		n--
	}
}
