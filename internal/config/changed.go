package config

import (
	"encoding"
	"reflect"
	"strings"
)

// Changed are the keys, with their tables, that two configurations have different
// values of, in the order of the type.
func Changed(a, b *Config) (keys []string) {
	other := map[string]any{}
	for _, s := range settingsOf(reflect.ValueOf(b).Elem(), "") {
		other[s.key] = s.value.Interface()
	}
	for _, s := range settingsOf(reflect.ValueOf(a).Elem(), "") {
		if !reflect.DeepEqual(s.value.Interface(), other[s.key]) {
			keys = append(keys, s.key)
		}
	}
	return keys
}

// setting is a key with its table, and its value.
type setting struct {
	key   string
	value reflect.Value
}

// settingsOf are all keys below a value, in their order.
func settingsOf(v reflect.Value, prefix string) (all []setting) {
	for n := range v.NumField() {
		field, value := v.Type().Field(n), v.Field(n)
		name, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
		_, isText := value.Addr().Interface().(encoding.TextUnmarshaler)
		switch {
		case field.Anonymous:
			all = append(all, settingsOf(value, prefix)...)
		case name == "":
		case value.Kind() == reflect.Struct && !isText:
			all = append(all, settingsOf(value, prefix+name+".")...)
		default:
			all = append(all, setting{prefix + name, value})
		}
	}
	return all
}
