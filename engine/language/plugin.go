package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	sdk "github.com/pulumi/pulumi/sdk/v3"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/pulumi/pulumi/sdk/v3/python/toolchain"
)

// policyPack is the kind of plugin that the engine calls an analyzer.
const policyPack = "analyzer"

// RunPlugin runs a policy pack, or a plugin written in Python, until it ends.
func (h *host) RunPlugin(
	req *pulumirpc.RunPluginRequest, server pulumirpc.LanguageRuntime_RunPluginServer,
) (err error) {
	if req.GetAttachDebugger() {
		return errors.New("this language host starts no debugger. Run without --attach-debugger")
	}
	tools, err := pluginToolchain(server.Context(), req.GetInfo())
	if err != nil {
		return err
	}
	safe := &oneAtATime[pulumirpc.RunPluginResponse]{ServerStreamingServer: server}
	streams, stdout, stderr, err := rpcutil.MakeRunPluginStreams(safe, false)
	if err != nil {
		return err
	}
	defer func() {
		if closed := streams.Close(); err == nil {
			err = closed
		}
	}()
	if req.GetKind() == policyPack {
		err = h.runPolicyPack(server.Context(), req, tools, stdout, stderr)
	} else {
		err = h.runOtherPlugin(server.Context(), req, tools, stdout, stderr)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return safe.Send(&pulumirpc.RunPluginResponse{
			Output: &pulumirpc.RunPluginResponse_Exitcode{Exitcode: int32(exit.ExitCode())},
		})
	}
	return err
}

func pluginToolchain(ctx context.Context, info *pulumirpc.ProgramInfo) (toolchain.Toolchain, error) {
	parsed, err := parseSettings(info)
	if err != nil {
		return nil, err
	}
	parsed.forPlugin()
	tools, err := toolchain.ResolveToolchain(parsed.python)
	if err != nil {
		return nil, err
	}
	return tools, tools.ValidateVenv(ctx)
}

// runPolicyPack starts the pack when the engine has sent the stack's configuration: a pack reads
// it from its environment, so it cannot be started before.
func (h *host) runPolicyPack(
	ctx context.Context, req *pulumirpc.RunPluginRequest, tools toolchain.Toolchain, stdout, stderr io.Writer,
) error {
	proxy, packStdout, err := sdk.NewPolicyProxy(ctx, stdout)
	if err != nil {
		return fmt.Errorf("start the policy pack's proxy: %w", err)
	}
	stack, err := proxy.AwaitConfiguration(ctx)
	if err != nil {
		return fmt.Errorf("wait for the stack's configuration: %w", err)
	}
	arguments := append([]string{"-u", "-m", "pulumi.policy"}, req.GetArgs()...)
	cmd, err := tools.Command(ctx, append(arguments, req.GetInfo().GetProgramDirectory())...)
	if err != nil {
		return err
	}
	variables, err := policyVariables(stack)
	if err != nil {
		return err
	}
	cmd.Dir = req.GetPwd()
	cmd.Env = append(append(environmentOf(cmd), req.GetEnv()...), variables...)
	cmd.Stdout, cmd.Stderr = packStdout, stderr
	if err := h.children.start(cmd); err != nil {
		return fmt.Errorf("start the policy pack: %w", err)
	}
	defer h.children.forget(cmd)
	return proxy.Attach(ctx, cmd)
}

// policyVariables tell a pack about the stack; without a stack (`pulumi policy publish`) there are none.
func policyVariables(stack *pulumirpc.AnalyzerStackConfigureRequest) ([]string, error) {
	if stack == nil {
		return nil, nil
	}
	variables, err := configurationVariable(stack.GetConfig())
	return append(variables,
		"PULUMI_ORGANIZATION="+stack.GetOrganization(),
		"PULUMI_PROJECT="+stack.GetProject(),
		"PULUMI_STACK="+stack.GetStack(),
		"PULUMI_DRY_RUN="+strconv.FormatBool(stack.GetDryRun()),
	), err
}

func (h *host) runOtherPlugin(
	ctx context.Context, req *pulumirpc.RunPluginRequest, tools toolchain.Toolchain, stdout, stderr io.Writer,
) error {
	folder := req.GetInfo().GetProgramDirectory()
	if _, err := os.Stat(filepath.Join(folder, "__main__.py")); err != nil {
		return fmt.Errorf("%s has no __main__.py, which a plugin is started by. Add one that calls "+
			"component_provider_host", folder)
	}
	cmd, err := tools.Command(ctx, append([]string{"-u", folder}, req.GetArgs()...)...)
	if err != nil {
		return err
	}
	cmd.Dir = req.GetPwd()
	cmd.Env = append(environmentOf(cmd), req.GetEnv()...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return h.children.run(cmd)
}
