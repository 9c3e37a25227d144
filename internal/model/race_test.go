//go:build race

package model

// raceDetector tells how the tests were built.
const raceDetector = true
