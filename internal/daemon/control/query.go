package control

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"tapstack/internal/daemon/api"
)

// readQuery fills a struct of package api from a request's parameters, which
// are named by the JSON tags of its fields. Whatever is not there, is there
// twice, or cannot be read is refused by its name.
func readQuery(raw string, into any) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return api.Errorf(http.StatusBadRequest, "parameters: %v", err)
	}
	v := reflect.ValueOf(into).Elem()
	known := make(map[string]reflect.Value)
	for i := range v.NumField() {
		known[fieldName(v.Type().Field(i))] = v.Field(i)
	}
	for name, given := range values {
		field, ok := known[name]
		if !ok {
			return api.Errorf(http.StatusBadRequest, "there is no parameter %q", clip(name))
		}
		if field.Kind() == reflect.Slice {
			field.Set(reflect.ValueOf(given))
			continue
		}
		if len(given) != 1 {
			return api.Errorf(http.StatusBadRequest, "parameter %q is given twice", name)
		}
		if err := readValue(field, given[0]); err != nil {
			return api.Errorf(http.StatusBadRequest, "parameter %q: %v", name, err)
		}
	}
	return nil
}

// fieldName is a field's name in JSON.
func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

var errNumber = errors.New("want a number")

func readValue(field reflect.Value, text string) error {
	if field.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return errors.New("want a time, such as 500ms")
		}
		field.SetInt(int64(d))
		return nil
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("want true or false")
		}
		field.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, field.Type().Bits())
		if err != nil || n < 0 {
			return errNumber
		}
		field.SetInt(n)
	case reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return errNumber
		}
		field.SetUint(n)
	default:
		return errors.New("cannot be given")
	}
	return nil
}

// readBody reads one JSON value of which every field has to be known.
func readBody(r io.Reader, into any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return err
	case err != nil:
		return api.Errorf(http.StatusBadRequest, "body: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return api.Errorf(http.StatusBadRequest, "body: want one JSON value and nothing behind it")
	}
	return nil
}
