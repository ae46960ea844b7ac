// Command pulumi-language-python runs Python programs for the Pulumi engine.
//
// The official language host is not published as a Go module. This one serves the same protocol
// (pulumirpc.LanguageRuntime) over the SDK's own toolchain package: what up, preview, refresh,
// destroy, about, install and policy packs need. It does not generate code.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/cmdutil"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/logging"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// executor is the SDK's script that runs a program; the SDK lays it beside the language host.
const executor = "pulumi-language-python-exec"

func main() {
	tracing := flag.String("tracing", "", "where to send traces")
	flag.Parse()
	logging.InitLogging(false, 0, false)
	cmdutil.InitTracing("pulumi-language-python", "pulumi-language-python", *tracing)
	if err := serve(flag.Arg(0), *tracing); err != nil {
		cmdutil.Exit(err)
	}
}

// serve prints the port it listens on, as the engine expects, and returns when the engine is gone.
func serve(engineAddress, tracing string) error {
	script, err := executorBeside()
	if err != nil {
		return err
	}
	host := newHost(script, engineAddress, tracing)
	server, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Init: func(srv *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(srv, host)
			return nil
		},
	})
	if err != nil {
		return fmt.Errorf("start the language host's server: %w", err)
	}
	fmt.Println(server.Port)
	return <-server.Done
}

func executorBeside() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the language host's own folder: %w", err)
	}
	script := filepath.Join(filepath.Dir(self), executor)
	if _, err := os.Stat(script); err != nil {
		return "", fmt.Errorf("%s is missing: it belongs beside %s", script, self)
	}
	return script, nil
}
