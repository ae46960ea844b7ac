package local

import (
	"slices"
	"testing"
)

func TestLinesAreShownWholeAndInOrder(t *testing.T) {
	var seen []string
	log := &lines{show: func(line string) { seen = append(seen, line) }}
	for _, part := range []string{"on", "e\ntwo\n\nthr", "ee"} {
		if n, err := log.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	log.flush()
	if want := []string{"one", "two", "", "three"}; !slices.Equal(seen, want) {
		t.Errorf("shown %q, want %q", seen, want)
	}
}

func TestLoggingChoosesWhatIsShown(t *testing.T) {
	choice := func(l Logging) *Logging { return &l }
	for _, one := range []struct {
		setting        *Logging
		stdout, stderr bool
	}{
		{nil, true, true},
		{choice(logBoth), true, true},
		{choice(logStdout), true, false},
		{choice(logStderr), false, true},
		{choice(logNone), false, false},
	} {
		if one.setting.shows(logStdout) != one.stdout || one.setting.shows(logStderr) != one.stderr {
			t.Errorf("%v", one.setting)
		}
	}
}
