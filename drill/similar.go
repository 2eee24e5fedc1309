package drill

import "slices"

// similar is the name that word was probably meant to be: one that is at most
// two letters off, and not a name of three letters or less.
func similar(word string, names []string) string {
	best, least := "", 3
	slices.Sort(names)
	for _, name := range names {
		if d := distance(word, name); d < least && len(name) > 3 {
			best, least = name, d
		}
	}
	return best
}

// distance is how many letters have to be put in, taken out or replaced to make
// b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
