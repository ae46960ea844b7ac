package local

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
)

// A cancelled command gets this long to end by itself.
const grace = 5 * time.Second

// Running counts the processes that have not ended.
var Running sync.WaitGroup

// run runs the command, if there is one, and puts its outputs into the state.
//
// On failure the state's outputs stay, and the error carries the command and all it printed.
func run(ctx context.Context, command *string, state *CommandState) error {
	if command == nil {
		return nil
	}
	var stdout, stderr bytes.Buffer
	var printed together
	logger := p.GetLogger(ctx)
	log := &lines{show: logger.InfoStatus}
	cmd := processOf(ctx, *command, state)
	cmd.Stdout = io.MultiWriter(&stdout, &printed, shown(log, state.Logging, logStdout))
	cmd.Stderr = io.MultiWriter(&stderr, &printed, shown(log, state.Logging, logStderr))
	Running.Add(1)
	err := cmd.Run()
	Running.Done()
	log.flush()
	if err != nil {
		return fmt.Errorf("%w: running %q:\n%s", err, *command, printed.buffer.String())
	}
	state.Stdout = strings.TrimSuffix(stdout.String(), "\n")
	state.Stderr = strings.TrimSuffix(stderr.String(), "\n")
	return collect(cmd.Dir, state)
}

func shown(log io.Writer, setting *Logging, stream Logging) io.Writer {
	if setting.shows(stream) {
		return log
	}
	return io.Discard
}

// processOf is the process to start: in a group of its own, so that a cancelled command takes the
// processes that it has started with it.
func processOf(ctx context.Context, command string, state *CommandState) *exec.Cmd {
	arguments := []string{"/bin/sh", "-c"}
	if state.Interpreter != nil && len(*state.Interpreter) > 0 {
		arguments = append([]string{}, *state.Interpreter...)
	}
	arguments = append(arguments, command)
	cmd := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		group := -cmd.Process.Pid
		time.AfterFunc(grace, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
		return syscall.Kill(group, syscall.SIGTERM)
	}
	if state.Dir != nil {
		cmd.Dir = *state.Dir
	}
	if state.Stdin != nil {
		cmd.Stdin = strings.NewReader(*state.Stdin)
	}
	cmd.Env = environmentOf(state)
	return cmd
}

func environmentOf(state *CommandState) []string {
	environment := os.Environ()
	if state.Environment != nil {
		for name, value := range *state.Environment {
			environment = append(environment, name+"="+value)
		}
	}
	if state.AddPreviousOutputInEnv != nil && !*state.AddPreviousOutputInEnv {
		return environment
	}
	if state.Stdout != "" {
		environment = append(environment, "PULUMI_COMMAND_STDOUT="+state.Stdout)
	}
	if state.Stderr != "" {
		environment = append(environment, "PULUMI_COMMAND_STDERR="+state.Stderr)
	}
	return environment
}
