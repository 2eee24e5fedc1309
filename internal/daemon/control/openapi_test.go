package control

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"tapstack/internal/daemon/api"
)

func loadOpenAPI(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestOpenAPIRoutes: the file and the server have the same routes, with the
// same parameters, bodies and answers, down to the names and types of fields.
func TestOpenAPIRoutes(t *testing.T) {
	doc := loadOpenAPI(t)
	described := make(map[string]bool)
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+path] = true
		}
	}
	for i := range routes {
		r := &routes[i]
		name := r.method + " " + r.path
		if !described[name] {
			t.Errorf("%s is not described", name)
			continue
		}
		delete(described, name)
		op := doc.Paths.Find(r.path).GetOperation(r.method)
		checkParameters(t, name, op, r.query)
		if (op.RequestBody == nil) != (r.body == nil) {
			t.Errorf("%s: body described: %v", name, op.RequestBody != nil)
		} else if r.body != nil {
			checkSchema(t, name+" body", op.RequestBody.Value.Content.Get("application/json").Schema, reflect.TypeOf(r.body))
		}
		if (op.Description != "") != r.change {
			t.Errorf("%s: described as for the privileged: %v", name, op.Description)
		}
		if r.answer != nil {
			checkAnswer(t, name, op, reflect.TypeOf(r.answer), r.stream)
		}
	}
	for name := range described {
		t.Errorf("%s is described, and is not there", name)
	}
	checkSchema(t, "failure", doc.Components.Schemas["Failure"], reflect.TypeFor[api.Failure]())
}

func checkAnswer(t *testing.T, name string, op *openapi3.Operation, typ reflect.Type, stream bool) {
	t.Helper()
	kind := "application/json"
	if stream {
		kind = "application/x-ndjson"
	}
	resp := op.Responses.Value("200")
	if resp == nil || resp.Value.Content.Get(kind) == nil {
		t.Errorf("%s: no answer of type %s described", name, kind)
		return
	}
	checkSchema(t, name+" answer", resp.Value.Content.Get(kind).Schema, typ)
}

func checkParameters(t *testing.T, name string, op *openapi3.Operation, query any) {
	t.Helper()
	var got, want []string
	for _, p := range op.Parameters {
		got = append(got, p.Value.Name+" "+p.Value.Schema.Value.Type.Slice()[0])
	}
	if query != nil {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(query)) {
			want = append(want, fieldName(f)+" "+jsonType(f.Type))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: parameters described %v, there are %v", name, got, want)
	}
}

// jsonType is how a type is written in JSON.
func jsonType(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration](), t == reflect.TypeFor[time.Time]():
		return "string"
	case t == reflect.TypeFor[api.Fields]():
		return "object"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.String:
		return "string"
	case reflect.Slice:
		return "array"
	default:
		return "object"
	}
}

// checkSchema compares a schema with a type, all the way down.
func checkSchema(t *testing.T, name string, ref *openapi3.SchemaRef, typ reflect.Type) {
	t.Helper()
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	s := ref.Value
	if !s.Type.Is(jsonType(typ)) {
		t.Errorf("%s: described as %v, is %s", name, s.Type, jsonType(typ))
		return
	}
	switch {
	case typ.Kind() == reflect.Slice && typ != reflect.TypeFor[api.Fields]():
		checkSchema(t, name+"[]", s.Items, typ.Elem())
	case typ.Kind() == reflect.Struct && typ != reflect.TypeFor[time.Time]():
		checkFields(t, name, s, typ)
	}
}

func checkFields(t *testing.T, name string, s *openapi3.Schema, typ reflect.Type) {
	t.Helper()
	known := maps.Clone(s.Properties)
	for _, f := range reflect.VisibleFields(typ) {
		field := fieldName(f)
		if field == "-" {
			continue
		}
		property := known[field]
		if property == nil {
			t.Errorf("%s: field %q is not described", name, field)
			continue
		}
		delete(known, field)
		optional := strings.Contains(f.Tag.Get("json"), ",omitempty")
		if slices.Contains(s.Required, field) == optional {
			t.Errorf("%s: field %q: described as required: %v", name, field, !optional)
		}
		checkSchema(t, name+"."+field, property, f.Type)
	}
	for field := range known {
		t.Errorf("%s: field %q is described, and is not there", name, field)
	}
}

// TestOpenAPIAnswers: what the server sends is what the file says.
func TestOpenAPIAnswers(t *testing.T) {
	doc := loadOpenAPI(t)
	f := newFake()
	s := serve(t, f, Access{Owner: owner}, root)
	for i := range routes {
		r := &routes[i]
		if r.answer == nil || r.stream {
			continue
		}
		status, body := s.ask(t, r.method, r.path, "")
		if status != http.StatusOK {
			t.Errorf("%s %s: %d %s", r.method, r.path, status, body)
			continue
		}
		schema := doc.Paths.Find(r.path).GetOperation(r.method).Responses.Value("200").Value.Content.Get("application/json").Schema
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Errorf("%s %s: %v in %s", r.method, r.path, err, body)
		} else if err := schema.Value.VisitJSON(v); err != nil {
			t.Errorf("%s %s: %v", r.method, r.path, err)
		}
	}
	_, body := s.ask(t, "GET", "/v1/nothing", "")
	var v any
	if err := json.Unmarshal(body, &v); err != nil || doc.Components.Schemas["Failure"].Value.VisitJSON(v) != nil {
		t.Errorf("a failure: %v, %s", err, body)
	}
}
