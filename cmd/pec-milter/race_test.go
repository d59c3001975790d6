//go:build race

package main

// raceDetector is on: times and memory are not those of the program.
const raceDetector = true
