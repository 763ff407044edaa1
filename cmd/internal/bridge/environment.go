package bridge

import "reflect"

// Environment writes the settings as variables, those that are not empty: what a process of
// its own is started with.
func (s Settings) Environment() []string {
	var out []string
	value := reflect.ValueOf(s)
	for _, field := range reflect.VisibleFields(value.Type()) {
		name := field.Tag.Get("env")
		if text := value.FieldByIndex(field.Index); name != "" && text.Kind() == reflect.String && text.String() != "" {
			out = append(out, name+"="+text.String())
		}
	}
	return out
}
