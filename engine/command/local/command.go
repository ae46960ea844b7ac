// Package local has the resources of the module command:local.
package local

import (
	"context"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Command runs one program per step of its life.
type Command struct{}

// Annotate describes the resource.
func (c *Command) Annotate(a infer.Annotator) {
	a.Describe(&c, "A command that is run when the resource is created, updated or deleted.")
}

// CommandArgs are the inputs, named and typed as in the pulumi_command SDK.
type CommandArgs struct {
	Create                 *string            `pulumi:"create,optional"`
	Update                 *string            `pulumi:"update,optional"`
	Delete                 *string            `pulumi:"delete,optional"`
	Triggers               *[]any             `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Stdin                  *string            `pulumi:"stdin,optional"`
	Logging                *Logging           `pulumi:"logging,optional"`
	Interpreter            *[]string          `pulumi:"interpreter,optional"`
	Dir                    *string            `pulumi:"dir,optional"`
	Environment            *map[string]string `pulumi:"environment,optional"`
	AddPreviousOutputInEnv *bool              `pulumi:"addPreviousOutputInEnv,optional"`
	AssetPaths             *[]string          `pulumi:"assetPaths,optional"`
	ArchivePaths           *[]string          `pulumi:"archivePaths,optional"`
}

// Annotate describes the inputs and their defaults.
func (c *CommandArgs) Annotate(a infer.Annotator) {
	a.Describe(&c.Create, "What to run when the resource is created.")
	a.Describe(&c.Update, "What to run when an input changes; without it, create is run again.")
	a.Describe(&c.Delete, "What to run when the resource is deleted.")
	a.Describe(&c.Triggers, "Values of any type; a change of one replaces the resource.")
	a.Describe(&c.Stdin, "Text for the process's standard input.")
	a.Describe(&c.Logging, "Which of the process's outputs to show while it runs; both by default.")
	a.Describe(&c.Interpreter,
		`The program that gets the command as its last argument; ["/bin/sh", "-c"] by default.`)
	a.Describe(&c.Dir, "The folder to run in; it must exist. The plugin's own by default.")
	a.Describe(&c.Environment, "Variables added to the plugin's environment.")
	a.Describe(&c.AddPreviousOutputInEnv,
		"Whether PULUMI_COMMAND_STDOUT and PULUMI_COMMAND_STDERR carry the previous outputs; true by default.")
	a.Describe(&c.AssetPaths, "Path globs to return as assets; a leading ! takes out again.")
	a.Describe(&c.ArchivePaths, "Path globs to return as one archive; a leading ! takes out again.")
}

// CommandOutputs are what the last run left.
type CommandOutputs struct {
	Stdout  string                      `pulumi:"stdout"`
	Stderr  string                      `pulumi:"stderr"`
	Assets  *map[string]*resource.Asset `pulumi:"assets,optional"`
	Archive *resource.Archive           `pulumi:"archive,optional"`
}

// Annotate describes the outputs.
func (c *CommandOutputs) Annotate(a infer.Annotator) {
	a.Describe(&c.Stdout, "The standard output, without a last line end.")
	a.Describe(&c.Stderr, "The standard error, without a last line end.")
	a.Describe(&c.Assets, "The files that assetPaths matched, by their path below dir.")
	a.Describe(&c.Archive, "The files that archivePaths matched.")
}

// CommandState is what the engine keeps.
type CommandState struct {
	CommandArgs
	CommandOutputs
}

// Create runs `create`, if there is one; a preview runs nothing.
func (*Command) Create(
	ctx context.Context, req infer.CreateRequest[CommandArgs],
) (infer.CreateResponse[CommandState], error) {
	state := CommandState{CommandArgs: req.Inputs}
	id, err := resource.NewUniqueHex(req.Name, 8, 0)
	if err != nil {
		return infer.CreateResponse[CommandState]{}, err
	}
	if !req.DryRun {
		err = run(ctx, req.Inputs.Create, &state)
	}
	return infer.CreateResponse[CommandState]{ID: id, Output: state}, err
}

// Update runs `update`, or else `create`; without either the outputs stay as they are.
func (*Command) Update(
	ctx context.Context, req infer.UpdateRequest[CommandArgs, CommandState],
) (infer.UpdateResponse[CommandState], error) {
	state := CommandState{CommandArgs: req.Inputs, CommandOutputs: req.State.CommandOutputs}
	command := req.Inputs.Update
	if command == nil {
		command = req.Inputs.Create
	}
	var err error
	if !req.DryRun {
		err = run(ctx, command, &state)
	}
	return infer.UpdateResponse[CommandState]{Output: state}, err
}

// Delete runs `delete`, as it was when the resource was last created or updated.
func (*Command) Delete(
	ctx context.Context, req infer.DeleteRequest[CommandState],
) (infer.DeleteResponse, error) {
	state := req.State
	return infer.DeleteResponse{}, run(ctx, state.Delete, &state)
}
