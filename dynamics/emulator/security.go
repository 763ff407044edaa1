package emulator

// profile is a field security profile: who may read which secured columns.
type profile struct {
	id, name string
}
