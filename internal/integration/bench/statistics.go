package main

import "slices"

// spread is a median and how far the rounds are apart.
type spread struct {
	Median  float64 `json:"median"`
	Lowest  float64 `json:"lowest"`
	Highest float64 `json:"highest"`
	Rounds  int     `json:"rounds"`
}

// spreadOf is that of some values; its zero value has none.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	return spread{quantile(values, 0.5), slices.Min(values), slices.Max(values), len(values)}
}

// quantile is the value that a part q of all is not above; 0 of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 == len(sorted) {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// roofline is how many messages a second the machine could do if a message cost
// its passes through the queue and its signatures, and nothing else. plain are the
// messages that Postfix alone does in a second, with one pass each; signature is
// the time of one on one core, in seconds.
func roofline(passes, plain, signatures, signature float64, cores int) float64 {
	return 1 / (passes/plain + signatures*signature/float64(cores))
}
