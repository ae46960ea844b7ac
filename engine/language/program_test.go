package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
)

// run runs a Python text in the executor's place.
func run(t *testing.T, text string) (*pulumirpc.RunResponse, string, error) {
	t.Helper()
	folder := environment(t)
	script, seen := filepath.Join(folder, "exec.py"), filepath.Join(folder, "seen")
	write(t, script, text)
	t.Setenv("SEEN", seen)
	reply, err := newHost(script, "127.0.0.1:1", "").Run(context.Background(), &pulumirpc.RunRequest{
		Project: "ovms", Stack: "dev", Pwd: folder, DryRun: true, Parallel: 4,
		MonitorAddress: "127.0.0.1:2", Organization: "organization",
		Config: map[string]string{"ovms:a": "1"}, ConfigSecretKeys: []string{"ovms:a"},
		Info: info(t, folder, map[string]any{"virtualenv": "venv", "toolchain": "pip"}),
	})
	written, _ := os.ReadFile(seen)
	return reply, strings.ReplaceAll(string(written), folder, "FOLDER"), err
}

func TestTheProgramIsToldWhoRunsIt(t *testing.T) {
	reply, seen, err := run(t, `
import os, sys
names = ("PULUMI_CONFIG", "PULUMI_CONFIG_SECRET_KEYS", "VIRTUAL_ENV")
text = [" ".join(sys.argv[1:])] + [os.environ[name] for name in names]
open(os.environ["SEEN"], "w").write("|".join(text))
`)
	if err != nil || reply.GetError() != "" {
		t.Fatal(reply, err)
	}
	want := "--monitor 127.0.0.1:2 --engine 127.0.0.1:1 --project ovms --root_directory FOLDER --stack dev " +
		"--pwd FOLDER --dry_run true --parallel 4 --organization organization FOLDER" +
		`|{"ovms:a":"1"}|["ovms:a"]|FOLDER/venv`
	if seen != want {
		t.Errorf("saw  %s\nwant %s", seen, want)
	}
}

func TestAStackWithoutConfigurationHasAnEmptyOne(t *testing.T) {
	values, err := configurationOf(&pulumirpc.RunRequest{})
	want := []string{"PULUMI_CONFIG={}", "PULUMI_CONFIG_SECRET_KEYS=[]"}
	if err != nil || !slices.Equal(values, want) {
		t.Errorf("%q, %v", values, err)
	}
}

func TestAProgramsFailureIsReported(t *testing.T) {
	reply, _, err := run(t, "raise SystemExit(3)")
	if err != nil || reply.GetBail() || !strings.Contains(reply.GetError(), "exit status 3") {
		t.Errorf("reply %v, error %v", reply, err)
	}
}

func TestAFailureThatTheSDKHasExplainedIsNotExplainedAgain(t *testing.T) {
	reply, _, err := run(t, "raise SystemExit(32)")
	if err != nil || !reply.GetBail() || reply.GetError() != "" {
		t.Errorf("reply %v, error %v", reply, err)
	}
}

func TestCancelEndsTheProgramWithoutAnErrorOfItsOwn(t *testing.T) {
	folder := environment(t)
	script := filepath.Join(folder, "exec.py")
	write(t, script, "import time; time.sleep(60)")
	h := newHost(script, "127.0.0.1:1", "")
	replies := make(chan *pulumirpc.RunResponse, 1)
	go func() {
		reply, _ := h.Run(context.Background(), &pulumirpc.RunRequest{
			Info: info(t, folder, map[string]any{"virtualenv": "venv", "toolchain": "pip"}),
		})
		replies <- reply
	}()
	for started := false; !started; time.Sleep(10 * time.Millisecond) {
		h.children.mutex.Lock()
		started = len(h.children.running) == 1
		h.children.mutex.Unlock()
	}
	if _, err := h.Cancel(context.Background(), &emptypb.Empty{}); err != nil {
		t.Fatal(err)
	}
	select {
	case reply := <-replies:
		if !reply.GetBail() || reply.GetError() != "" {
			t.Errorf("reply %v", reply)
		}
	case <-time.After(grace + 5*time.Second):
		t.Error("the program still runs")
	}
}
