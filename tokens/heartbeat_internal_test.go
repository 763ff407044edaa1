package tokens

import "testing"

// The check value of CRC16/XMODEM, and slots as CLUSTER KEYSLOT gives them.
func TestSlotOf(t *testing.T) {
	for tag, want := range map[string]int{"123456789": 0x31C3, "": 0, "foo": 12182, "bar": 5061} {
		if got := slotOf(tag); got != want {
			t.Errorf("slotOf(%q) = %d, want %d", tag, got, want)
		}
	}
	var known topology
	for _, slot := range []int{0, 5461, 16383} {
		if tag := known.tag(slot); slotOf(tag) != slot {
			t.Errorf("tag %s is not in slot %d", tag, slot)
		}
	}
}
