package client

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tapstack/internal/daemon/api"
)

// readSockets reads a list while the daemon still writes it. The daemon puts
// each socket on a line of its own, which is what makes this fast and is no
// part of the API: an answer in another form is read all the same.
func readSockets(r io.Reader, each func(*api.Socket) error) error {
	b := bufio.NewReaderSize(r, 64<<10)
	var s api.Socket
	for n := 0; ; n++ {
		line, err := b.ReadSlice('\n')
		if err != nil {
			return readAnySockets(line, b, n, each)
		}
		text := bytes.TrimSpace(line)
		if bytes.Equal(text, []byte{']'}) {
			return nil
		}
		mark := byte('[')
		if n > 0 {
			mark = ','
		}
		s = api.Socket{}
		if len(text) == 0 || text[0] != mark || s.ParseJSON(text[1:]) != nil {
			return readAnySockets(line, b, n, each)
		}
		if err := each(&s); err != nil {
			return err
		}
	}
}

// readAnySockets reads the rest of a list of which n have been read, in any
// form. line is the start of the rest.
func readAnySockets(line []byte, r io.Reader, n int, each func(*api.Socket) error) error {
	rest := bytes.TrimSpace(bytes.Clone(line))
	if n > 0 {
		if len(rest) == 0 || rest[0] != ',' && rest[0] != ']' {
			return wrongAnswer(errors.New("want a list of sockets"))
		}
		rest = append([]byte{'['}, bytes.TrimPrefix(rest, []byte{','})...)
	}
	var more []api.Socket
	if err := json.NewDecoder(io.MultiReader(bytes.NewReader(rest), r)).Decode(&more); err != nil {
		return wrongAnswer(err)
	}
	for i := range more {
		if err := each(&more[i]); err != nil {
			return err
		}
	}
	return nil
}

func wrongAnswer(err error) error { return fmt.Errorf("the daemon's answer: %w", err) }
