//go:build race

package socketapi_test

const underRace = true
