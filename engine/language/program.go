package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/pulumi/pulumi/sdk/v3/python/toolchain"
)

// alreadyExplained is the executor's exit code after it has shown the user an error of its own.
const alreadyExplained = 32

// Run executes the program; what it prints reaches the user through this host's own streams.
func (h *host) Run(ctx context.Context, req *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	if req.GetAttachDebugger() {
		return nil, errors.New("this language host starts no debugger. Run without --attach-debugger")
	}
	parsed, err := parseSettings(req.GetInfo())
	if err != nil {
		return nil, err
	}
	tools, err := toolchain.ResolveToolchain(parsed.python)
	if err != nil {
		return nil, err
	}
	if err := tools.ValidateVenv(ctx); err != nil {
		return nil, err
	}
	if err := h.typecheck(ctx, tools, parsed.typechecker, req.GetInfo().GetProgramDirectory()); err != nil {
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	}
	cmd, err := tools.Command(ctx, append([]string{"-u", h.executor}, h.arguments(req)...)...)
	if err != nil {
		return nil, err
	}
	configuration, err := configurationOf(req)
	if err != nil {
		return nil, err
	}
	cmd.Env = append(environmentOf(cmd), configuration...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = h.children.run(cmd)
	if h.children.wasStopped() {
		// The engine knows why it cancelled, and says so itself.
		return &pulumirpc.RunResponse{Bail: true}, nil
	}
	return responseOf(err), nil
}

func (h *host) typecheck(ctx context.Context, tools toolchain.Toolchain, module, folder string) error {
	if module == "" {
		return nil
	}
	cmd, err := tools.ModuleCommand(ctx, module, ".")
	if err != nil {
		return err
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, os.Stdout, os.Stderr
	if err := h.children.run(cmd); err != nil {
		return fmt.Errorf("%s found faults in the program, or is not installed: %w", module, err)
	}
	return nil
}

// arguments are the executor's: who the engine is, and what to run.
func (h *host) arguments(req *pulumirpc.RunRequest) []string {
	named := [][2]string{
		{"monitor", req.GetMonitorAddress()},
		{"engine", h.engine},
		{"project", req.GetProject()},
		{"root_directory", req.GetInfo().GetRootDirectory()},
		{"stack", req.GetStack()},
		{"pwd", req.GetPwd()},
		{"dry_run", strconv.FormatBool(req.GetDryRun())},
		{"parallel", strconv.Itoa(int(req.GetParallel()))},
		{"tracing", h.tracing},
		{"organization", req.GetOrganization()},
	}
	var arguments []string
	for _, pair := range named {
		if pair[1] != "" {
			arguments = append(arguments, "--"+pair[0], pair[1])
		}
	}
	arguments = append(arguments, programOf(req.GetInfo()))
	return append(arguments, req.GetArgs()...)
}

// programOf is the entry point; "." stands for the program's folder, whose __main__.py is run.
func programOf(info *pulumirpc.ProgramInfo) string {
	entry := info.GetEntryPoint()
	if entry == "" || entry == "." {
		return info.GetProgramDirectory()
	}
	return entry
}

// configurationOf hands over the stack's configuration by environment, as the SDK reads it.
func configurationOf(req *pulumirpc.RunRequest) ([]string, error) {
	secrets := req.GetConfigSecretKeys()
	if secrets == nil {
		secrets = []string{}
	}
	keys, err := json.Marshal(secrets)
	if err != nil {
		return nil, fmt.Errorf("print the names of the stack's secrets: %w", err)
	}
	values, err := configurationVariable(req.GetConfig())
	return append(values, "PULUMI_CONFIG_SECRET_KEYS="+string(keys)), err
}

// configurationVariable prints no configuration as an empty object: the SDK does not take null.
func configurationVariable(values map[string]string) ([]string, error) {
	if values == nil {
		values = map[string]string{}
	}
	printed, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("print the stack's configuration: %w", err)
	}
	return []string{"PULUMI_CONFIG=" + string(printed)}, nil
}

// responseOf tells the engine how the program ended.
func responseOf(err error) *pulumirpc.RunResponse {
	if err == nil {
		return &pulumirpc.RunResponse{}
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("could not run Python: %v", err)}
	}
	if exit.ExitCode() == alreadyExplained {
		return &pulumirpc.RunResponse{Bail: true}
	}
	return &pulumirpc.RunResponse{Error: fmt.Sprintf("the program ended with %v", exit.ProcessState)}
}

// environmentOf is what the command would run with: its own environment, or this process's.
func environmentOf(cmd *exec.Cmd) []string {
	if cmd.Env != nil {
		return cmd.Env
	}
	return os.Environ()
}
