package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"
)

func info(t *testing.T, folder string, options map[string]any) *pulumirpc.ProgramInfo {
	t.Helper()
	given, err := structpb.NewStruct(options)
	if err != nil {
		t.Fatal(err)
	}
	return &pulumirpc.ProgramInfo{
		RootDirectory: folder, ProgramDirectory: folder, EntryPoint: ".", Options: given,
	}
}

// write makes a file below a folder, with the folders on the way.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// environment makes a virtual environment whose Python is the system's, and returns its folder.
func environment(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here")
	}
	folder := t.TempDir()
	write(t, filepath.Join(folder, "venv/bin/python"), "#!/bin/sh\nexec "+python+" \"$@\"\n")
	return folder
}

func TestTheVirtualenvOptionIsTakenFromTheProject(t *testing.T) {
	parsed, err := parseSettings(info(t, "/project", map[string]any{
		"virtualenv": "venv", "toolchain": "pip", "typechecker": "mypy", "other": true,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if parsed.python.Virtualenv != "venv" || parsed.python.Root != "/project" || parsed.typechecker != "mypy" {
		t.Errorf("parsed %+v", parsed)
	}
}

func TestAnUnknownOptionValueIsRefusedInWords(t *testing.T) {
	for option, want := range map[string]string{
		"toolchain": "pip, poetry or uv", "typechecker": "mypy, pyright or none",
	} {
		_, err := parseSettings(info(t, "/p", map[string]any{option: "conda"}))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"conda"`) {
			t.Errorf("%s: %v", option, err)
		}
	}
	if _, err := parseSettings(info(t, "/p", map[string]any{"virtualenv": 3})); err == nil {
		t.Error("a virtualenv that is a number passed")
	}
}

func TestAPluginGetsTheVirtualenvThatInstallMakesForIt(t *testing.T) {
	plain, _ := parseSettings(info(t, "/p", nil))
	plain.forPlugin()
	named, _ := parseSettings(info(t, "/p", map[string]any{"virtualenv": "../venv"}))
	named.forPlugin()
	uv, _ := parseSettings(info(t, "/p", map[string]any{"toolchain": "uv"}))
	uv.forPlugin()
	seen := []string{plain.python.Virtualenv, named.python.Virtualenv, uv.python.Virtualenv}
	if !slices.Equal(seen, []string{"venv", "../venv", ""}) {
		t.Errorf("virtual environments %q", seen)
	}
}

func TestAMissingVirtualenvIsNamed(t *testing.T) {
	h := newHost("exec", "engine", "")
	_, err := h.GetRequiredPackages(context.Background(), &pulumirpc.GetRequiredPackagesRequest{
		Info: info(t, t.TempDir(), map[string]any{"virtualenv": "venv", "toolchain": "pip"}),
	})
	if err == nil || !strings.Contains(err.Error(), "venv") {
		t.Errorf("error %v", err)
	}
}

func TestThePluginsOfInstalledSDKsAreRequired(t *testing.T) {
	folder := environment(t)
	packages := filepath.Join(folder, "packages")
	write(t, filepath.Join(packages, "pulumi_docker/pulumi-plugin.json"),
		`{"resource": true, "name": "docker", "version": "5.2.0"}`)
	write(t, filepath.Join(packages, "pulumi_std/pulumi-plugin.json"),
		`{"resource": true, "name": "std", "version": "v1.0.0", "server": "https://example.org"}`)
	write(t, filepath.Join(packages, "pulumi_policy/pulumi-plugin.json"), `{"resource": false}`)
	// The program's own folder is not where SDKs are installed.
	write(t, filepath.Join(folder, "mine/pulumi-plugin.json"), `{"resource": true, "name": "mine"}`)
	t.Setenv("PYTHONPATH", packages)

	reply, err := newHost("exec", "engine", "").GetRequiredPackages(context.Background(),
		&pulumirpc.GetRequiredPackagesRequest{
			Info: info(t, folder, map[string]any{"virtualenv": "venv", "toolchain": "pip"}),
		})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, one := range reply.GetPackages() {
		seen[one.GetName()] = one.GetKind() + " " + one.GetVersion() + " " + one.GetServer()
	}
	if seen["docker"] != "resource v5.2.0 " || seen["std"] != "resource v1.0.0 https://example.org" {
		t.Errorf("packages %v", seen)
	}
	if _, present := seen["mine"]; present {
		t.Error("a file of the program counts as an installed SDK")
	}
	if _, present := seen[""]; present {
		t.Error("an SDK without a plugin counts as one")
	}
}

func TestAPolicyPackSeesTheStack(t *testing.T) {
	seen, err := policyVariables(&pulumirpc.AnalyzerStackConfigureRequest{
		Project: "ovms", Stack: "dev", Organization: "organization", DryRun: true,
		Config: map[string]string{"ovms:a": "1"},
	})
	want := []string{
		`PULUMI_CONFIG={"ovms:a":"1"}`, "PULUMI_ORGANIZATION=organization", "PULUMI_PROJECT=ovms",
		"PULUMI_STACK=dev", "PULUMI_DRY_RUN=true",
	}
	if err != nil || !slices.Equal(seen, want) {
		t.Errorf("%q, %v", seen, err)
	}
	if without, err := policyVariables(nil); err != nil || without != nil {
		t.Errorf("without a stack: %q, %v", without, err)
	}
}

func TestTheHandshakesAddressReplacesTheArgument(t *testing.T) {
	h := newHost("exec", "", "")
	request := &pulumirpc.LanguageHandshakeRequest{EngineAddress: "127.0.0.1:9"}
	if _, err := h.Handshake(context.Background(), request); err != nil {
		t.Fatal(err)
	}
	if arguments := h.arguments(&pulumirpc.RunRequest{}); !slices.Contains(arguments, "127.0.0.1:9") {
		t.Errorf("arguments %q", arguments)
	}
}
