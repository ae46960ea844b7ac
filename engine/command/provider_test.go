package main

import (
	"context"
	"strings"
	"testing"

	"github.com/blang/semver"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

func server(t *testing.T) integration.Server {
	t.Helper()
	provider, err := newProvider()
	if err != nil {
		t.Fatal(err)
	}
	s, err := integration.NewServer(context.Background(), "command",
		semver.MustParse(version), integration.WithProvider(provider))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func urn(token tokens.Type) resource.URN {
	return resource.NewURN("dev", "project", "", token, "one")
}

type values = map[string]property.Value

func inputs(pairs values) property.Map { return property.NewMap(pairs) }

func text(value string) property.Value { return property.New(value) }

func list(items ...string) property.Value {
	var all []property.Value
	for _, item := range items {
		all = append(all, property.New(item))
	}
	return property.New(property.NewArray(all))
}

// step is a resource as the engine holds it between two requests.
type step struct {
	server integration.Server
	id     string
	state  property.Map
}

func create(t *testing.T, given values) step {
	t.Helper()
	s := server(t)
	reply, err := s.Create(p.CreateRequest{Urn: urn(commandToken), Properties: inputs(given)})
	if err != nil {
		t.Fatal(err)
	}
	return step{server: s, id: reply.ID, state: reply.Properties}
}

func (s step) update(given values) (step, error) {
	reply, err := s.server.Update(p.UpdateRequest{
		ID: s.id, Urn: urn(commandToken), State: s.state, Inputs: inputs(given),
	})
	return step{server: s.server, id: s.id, state: reply.Properties}, err
}

func (s step) delete() error {
	return s.server.Delete(p.DeleteRequest{ID: s.id, Urn: urn(commandToken), Properties: s.state})
}

// The SDK asks for a replacement with replace_on_changes=["triggers[*]"], so the path is what counts.
func TestAChangeIsReportedByThePathThatTheSDKReplacesBy(t *testing.T) {
	before := values{"create": text("true"), "triggers": list("a", "b")}
	state := inputs(before).Set("stdout", text("")).Set("stderr", text(""))
	for path, after := range map[string]values{
		"triggers[1]": {"create": text("true"), "triggers": list("a", "c")},
		"create":      {"create": text("false"), "triggers": list("a", "b")},
	} {
		reply, err := server(t).Diff(p.DiffRequest{
			ID: "1", Urn: urn(commandToken), State: state, OldInputs: inputs(before), Inputs: inputs(after),
		})
		if err != nil || !reply.HasChanges {
			t.Fatalf("%s: %+v, %v", path, reply, err)
		}
		if _, present := reply.DetailedDiff[path]; !present || len(reply.DetailedDiff) != 1 {
			t.Errorf("%s: %+v", path, reply.DetailedDiff)
		}
	}
}

func TestTheSameInputsAreNoChange(t *testing.T) {
	given := inputs(values{"create": text("true"), "triggers": list("a"), "stdin": text("x")})
	state := given.Set("stdout", text("")).Set("stderr", text(""))
	reply, err := server(t).Diff(p.DiffRequest{
		ID: "1", Urn: urn(commandToken), State: state, OldInputs: given, Inputs: given,
	})
	if err != nil || reply.HasChanges {
		t.Errorf("%+v, %v", reply, err)
	}
}

func TestWhatThisPluginLacksIsRefusedWithTheOfficialPluginsName(t *testing.T) {
	s := server(t)
	_, resourceErr := s.Check(p.CheckRequest{Urn: urn("command:remote:Command"), Inputs: inputs(nil)})
	_, functionErr := s.Invoke(p.InvokeRequest{Token: "command:local:run"})
	for token, err := range map[string]error{
		"command:remote:Command": resourceErr, "command:local:run": functionErr,
	} {
		if err == nil || !strings.Contains(err.Error(), token) ||
			!strings.Contains(err.Error(), "pulumi plugin install resource command 1.2.1") {
			t.Errorf("%s: %v", token, err)
		}
	}
}
