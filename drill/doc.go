// Package drill runs packet scripts.
package drill
