package main

import "time"

// mode is how much is measured.
type mode struct {
	Name      string
	providers []string
	sessions  []int
	messages  map[int]int   // by sessions
	rounds    int           // at most
	limit     time.Duration // no new round after it, but for the first few
	signing   time.Duration // how long each key signs in a round

	sizes      []int64
	recipients []int
	repeats    int   // rounds of sizes and recipients
	crowd      int64 // bytes of each of 20 messages at once; 0: none
	profile    time.Duration
}

// usual is the size of a message where nothing else is said, in bytes.
const usual = 10_000

// modes are in the order of their length. The first only proves that all of this
// works, the second has the profiles of the daemon and little else.
var modes = []mode{
	{
		Name: "tiny", providers: []string{local, slow, unlogged, peer}, sessions: []int{2}, messages: map[int]int{2: 4},
		rounds: 1, limit: time.Minute, signing: 50 * time.Millisecond,
		sizes: []int64{1_000, 100_000}, recipients: []int{1, 3}, repeats: 1,
	},
	{
		Name: "profile", providers: []string{local, peer}, sessions: []int{10}, messages: map[int]int{10: 100},
		rounds: 1, signing: 300 * time.Millisecond, profile: 30 * time.Second,
	},
	{
		Name: "quick", providers: []string{local, peer, tcp, token, slow, servers, unlogged}, sessions: []int{1, 10}, messages: map[int]int{1: 40, 10: 100},
		rounds: 5, limit: 75 * time.Second, signing: 300 * time.Millisecond,
		sizes: []int64{1_000, usual, 100_000, 1_000_000, 10_000_000, 30_000_000}, recipients: []int{1, 10, 100}, repeats: 1,
		profile: 5 * time.Second,
	},
	{
		Name: "full", providers: []string{local, peer, tcp, token, slow, servers, unlogged}, sessions: []int{1, 4, 10, 20},
		messages: map[int]int{1: 100, 4: 200, 10: 300, 20: 300},
		rounds:   9, limit: 12 * time.Minute, signing: time.Second,
		sizes:      []int64{1_000, usual, 100_000, 1_000_000, 10_000_000, 30_000_000, 100_000_000},
		recipients: []int{1, 10, 100, 500}, repeats: 3, crowd: 100_000_000, profile: 20 * time.Second,
	},
}

// findMode finds a mode by its name; nil if there is none.
func findMode(name string) *mode {
	for i := range modes {
		if modes[i].Name == name {
			return &modes[i]
		}
	}
	return nil
}
