package bridge

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Only what a file holds as it is in memory may be dropped.
func TestMappingsThatHoldNothingButTheirFile(t *testing.T) {
	const smaps = `00400000-01238000 r-xp 00000000 fe:00 1234                               /crmbridge
Size:              14560 kB
Rss:               10976 kB
Private_Dirty:     10976 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
01238000-02066000 r--p 00e38000 fe:00 1234                               /crmbridge, with spaces
Anonymous:             0 kB
02066000-020e6000 rw-p 01c66000 fe:00 1234                               /crmbridge
Anonymous:             0 kB
030e6000-04132000 r--p 00000000 00:00 0
Anonymous:             0 kB
05000000-05001000 r--p 00002000 fe:00 99                                 /lib/relocated.so
Anonymous:             4 kB
06000000-06001000 r--s 00000000 fe:00 98                                 /shared
Anonymous:             0 kB
07000000-07001000 r--p 00000000 fe:00 97                                 /says/nothing
7ffd0000-7ffd2000 r-xp 00000000 00:00 0                                  [vdso]
Anonymous:             0 kB
zz-7ffd2000 r-xp 00000000 fe:00 1                                        /bad
Anonymous:             0 kB
`
	got := unchanged(strings.NewReader(smaps))
	if want := []mapping{{0x400000, 0x1238000}, {0x1238000, 0x2066000}}; !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// A process that has settled holds less of its program, and goes on.
func TestASettledProcessHoldsLessOfItsProgram(t *testing.T) {
	held := func() int {
		t.Helper()
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Skip("this system does not say what a process holds: " + err.Error())
		}
		_, rest, found := strings.Cut(string(status), "\nRssFile:")
		if !found {
			t.Skip("this kernel does not say what a process holds of files")
		}
		kib, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		return kib
	}
	before := held()
	settle()
	if after := held(); after > before*3/4 {
		t.Errorf("%d KiB of files, %d before", after, before)
	}
}
