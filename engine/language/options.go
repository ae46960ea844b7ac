package main

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/python/toolchain"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// typecheckers are the modules that the `typechecker` option may name.
var typecheckers = map[string]string{"": "", "none": "", "mypy": "mypy", "pyright": "pyright"}

// settings are the runtime options of a Pulumi.yaml, PulumiPlugin.yaml or PulumiPolicy.yaml.
type settings struct {
	python      toolchain.PythonOptions
	typechecker string
}

// parseSettings reads the options that the engine sends with each request.
//
// Options of other names are left alone, as the official host leaves them.
func parseSettings(info *pulumirpc.ProgramInfo) (settings, error) {
	parsed := settings{python: toolchain.PythonOptions{
		Root:       info.GetRootDirectory(),
		ProgramDir: info.GetProgramDirectory(),
	}}
	options := info.GetOptions().AsMap()
	var err error
	if parsed.python.Virtualenv, err = text(options, "virtualenv"); err != nil {
		return settings{}, err
	}
	checker, err := text(options, "typechecker")
	if err != nil {
		return settings{}, err
	}
	module, known := typecheckers[checker]
	if !known {
		return settings{}, unknown("typechecker", checker, "mypy, pyright or none")
	}
	parsed.typechecker = module
	tool, err := text(options, "toolchain")
	if err != nil {
		return settings{}, err
	}
	return parsed, parsed.chooseToolchain(tool)
}

func (s *settings) chooseToolchain(name string) error {
	switch name {
	case "":
		s.python.Toolchain = toolchain.Auto
	case "pip":
		s.python.Toolchain = toolchain.Pip
	case "poetry":
		s.python.Toolchain = toolchain.Poetry
	case "uv":
		s.python.Toolchain = toolchain.Uv
	default:
		return unknown("toolchain", name, "pip, poetry or uv")
	}
	return nil
}

// forPlugin gives plugins the virtual environment that `pulumi install` makes for them.
func (s *settings) forPlugin() {
	usesPip := s.python.Toolchain == toolchain.Auto || s.python.Toolchain == toolchain.Pip
	if usesPip && s.python.Virtualenv == "" {
		s.python.Virtualenv = "venv"
	}
}

func text(options map[string]any, name string) (string, error) {
	value, present := options[name]
	if !present || value == nil {
		return "", nil
	}
	if s, isText := value.(string); isText {
		return s, nil
	}
	return "", fmt.Errorf("runtime option %s is %v, which is not text. Write it in quotes", name, value)
}

func unknown(option, value, choices string) error {
	return fmt.Errorf("runtime option %s is %q, which is none of %s. Change it in the project file",
		option, value, choices)
}
