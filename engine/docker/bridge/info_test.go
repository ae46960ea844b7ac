package bridge

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

const schemaFile = "../schema.json"

// property is what the schema says about one input.
type property struct {
	Replaces bool `json:"willReplaceOnChanges"`
	Secret   bool `json:"secret"`
}

func committedSchema(t *testing.T) map[string]map[string]property {
	t.Helper()
	var schema struct {
		Version   string
		Resources map[string]struct{ InputProperties map[string]property }
	}
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Version != Version {
		t.Errorf("the schema is of version %q, the plugin of %q. Run go generate", schema.Version, Version)
	}
	inputs := map[string]map[string]property{}
	for token, one := range schema.Resources {
		inputs[token] = one.InputProperties
	}
	return inputs
}

// Generating the schema anew compiles Pulumi's code generators, which costs minutes; what the
// program depends on can be read off the provider itself.
func TestTheCommittedSchemaIsThatOfTheProvider(t *testing.T) {
	committed := committedSchema(t)
	info := Info()
	for name, one := range info.Resources {
		token := string(one.Tok)
		inputs, present := committed[token]
		if !present {
			t.Errorf("the schema lacks %s (%s). Run go generate", token, name)
			continue
		}
		upstream := inputsOf(info.P.ResourcesMap().Get(name).Schema(), one.Fields)
		compare(t, token, inputs, upstream)
	}
	if len(committed) != len(info.Resources) {
		t.Errorf("the schema has %d resources, the provider %d", len(committed), len(info.Resources))
	}
}

func inputsOf(fields shim.SchemaMap, overrides map[string]*tfbridge.SchemaInfo) map[string]property {
	inputs := map[string]property{}
	fields.Range(func(name string, field shim.Schema) bool {
		if field.Optional() || field.Required() {
			pulumiName := tfbridge.TerraformToPulumiNameV2(name, fields, overrides)
			inputs[pulumiName] = property{Replaces: field.ForceNew(), Secret: field.Sensitive()}
		}
		return true
	})
	delete(inputs, "id")
	return inputs
}

func compare(t *testing.T, token string, committed, upstream map[string]property) {
	t.Helper()
	for name, one := range upstream {
		if seen, present := committed[name]; !present || seen != one {
			t.Errorf("%s.%s: schema has %+v (present: %v), provider %+v", token, name, seen, present, one)
		}
	}
	for name := range committed {
		if _, present := upstream[name]; !present {
			t.Errorf("%s.%s is in the schema, and not in the provider", token, name)
		}
	}
}

func provider(t *testing.T) pulumirpc.ResourceProviderServer {
	t.Helper()
	schema, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	info := Info()
	return tfbridge.NewProvider(context.Background(), nil, Name, Version, info.P, info, schema)
}

func checked(t *testing.T, kind string, inputs map[string]any) map[string]any {
	t.Helper()
	properties, err := plugin.MarshalProperties(
		resource.NewPropertyMapFromMap(inputs), plugin.MarshalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := provider(t).Check(context.Background(), &pulumirpc.CheckRequest{
		Urn: "urn:pulumi:dev::p::" + kind + "::model", News: properties,
		RandomSeed: []byte("0123456789abcdef0123456789abcdef"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.Failures) > 0 {
		t.Fatalf("check failed: %v", reply.Failures)
	}
	return reply.Inputs.AsMap()
}

func TestWhatHasNoNameGetsOneFromItsResource(t *testing.T) {
	generated := regexp.MustCompile(`^model-[0-9a-f]{7}$`)
	for kind, inputs := range map[string]map[string]any{
		"docker:index/container:Container": {"image": "nginx"},
		"docker:index/network:Network":     {},
		"docker:index/volume:Volume":       {},
	} {
		if name, _ := checked(t, kind, inputs)["name"].(string); !generated.MatchString(name) {
			t.Errorf("%s: name is %q", kind, name)
		}
	}
}

func TestAGivenNameIsKept(t *testing.T) {
	inputs := map[string]any{"image": "nginx", "name": "given"}
	if name := checked(t, "docker:index/container:Container", inputs)["name"]; name != "given" {
		t.Errorf("name is %q", name)
	}
}

func TestAnImageIsNeverNamedByTheProvider(t *testing.T) {
	properties, err := plugin.MarshalProperties(resource.PropertyMap{}, plugin.MarshalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := provider(t).Check(context.Background(), &pulumirpc.CheckRequest{
		Urn: "urn:pulumi:dev::p::docker:index/remoteImage:RemoteImage::model", News: properties,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.Failures) == 0 {
		t.Errorf("an image without a name passed: %v", reply.Inputs)
	}
}

// changed asks what becomes of a resource whose label x is given another value.
func changed(t *testing.T, kind string, inputs map[string]any) *pulumirpc.DiffResponse {
	t.Helper()
	labelled := func(value string) map[string]any {
		all := map[string]any{"labels": []any{map[string]any{"label": "x", "value": value}}}
		for name, one := range inputs {
			all[name] = one
		}
		return checked(t, kind, all)
	}
	marshal := func(values map[string]any) *pulumirpc.DiffRequest {
		properties, err := plugin.MarshalProperties(
			resource.NewPropertyMapFromMap(values), plugin.MarshalOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return &pulumirpc.DiffRequest{News: properties}
	}
	before, after := labelled("1"), labelled("2")
	reply, err := provider(t).Diff(context.Background(), &pulumirpc.DiffRequest{
		Id: "0123", Urn: "urn:pulumi:dev::p::" + kind + "::model",
		Olds: marshal(before).News, OldInputs: marshal(before).News, News: marshal(after).News,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.Replaces) == 0 {
		t.Fatalf("%s: a changed label replaces nothing: %v", kind, reply)
	}
	return reply
}

func TestAContainerGoesBeforeItsReplacementComes(t *testing.T) {
	reply := changed(t, "docker:index/container:Container", map[string]any{"image": "nginx"})
	if !reply.DeleteBeforeReplace {
		t.Error("an auto-named container is created beside the old one")
	}
}

func TestWhatHasAFixedNameGoesBeforeItsReplacementComes(t *testing.T) {
	for _, kind := range []string{"docker:index/network:Network", "docker:index/volume:Volume"} {
		if !changed(t, kind, map[string]any{"name": "given"}).DeleteBeforeReplace {
			t.Errorf("%s: the fixed name would be taken twice", kind)
		}
		if changed(t, kind, map[string]any{}).DeleteBeforeReplace {
			t.Errorf("%s: a generated name needs no gap", kind)
		}
	}
}
