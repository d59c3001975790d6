//go:build !linux

package doctor

func kernelClock() (clockState, bool) { return clockState{}, false }
