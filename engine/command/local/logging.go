package local

import (
	"bytes"
	"sync"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// Logging says which outputs are shown while the command runs. All are captured.
type Logging string

const (
	logStdout Logging = "stdout"
	logStderr Logging = "stderr"
	logBoth   Logging = "stdoutAndStderr"
	logNone   Logging = "none"
)

// Values are the choices, for the schema.
func (Logging) Values() []infer.EnumValue[Logging] {
	return []infer.EnumValue[Logging]{
		{Name: string(logStdout), Value: logStdout, Description: "Show stdout but not stderr"},
		{Name: string(logStderr), Value: logStderr, Description: "Show stderr but not stdout"},
		{Name: string(logBoth), Value: logBoth, Description: "Show stdout and stderr"},
		{Name: string(logNone), Value: logNone, Description: "Show nothing"},
	}
}

func (l *Logging) shows(stream Logging) bool {
	return l == nil || *l == logBoth || *l == stream
}

// lines hands over text line by line, as it comes from several writers.
type lines struct {
	mutex sync.Mutex
	open  []byte
	show  func(string)
}

// Write never fails: a log must not stop the command.
func (l *lines) Write(text []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.open = append(l.open, text...)
	for {
		line, rest, found := bytes.Cut(l.open, []byte("\n"))
		if !found {
			return len(text), nil
		}
		l.show(string(line))
		l.open = rest
	}
}

// flush hands over a last line without a line end.
func (l *lines) flush() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.open) > 0 {
		l.show(string(l.open))
		l.open = nil
	}
}

// together is a buffer that two writers fill in the order of their writes.
type together struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (t *together) Write(text []byte) (int, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.buffer.Write(text)
}
