package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

func expect(t *testing.T, state property.Map, name, want string) {
	t.Helper()
	value := state.Get(name)
	if !value.IsString() || value.AsString() != want {
		t.Errorf("%s is %v, want %q", name, value, want)
	}
}

func TestCreateRunsInTheShellAndKeepsBothOutputs(t *testing.T) {
	made := create(t, values{
		"create":      text("cat; echo $WHO; echo fault >&2"),
		"stdin":       text("spec\n"),
		"environment": property.New(property.NewMap(values{"WHO": text("me")})),
	})
	expect(t, made.state, "stdout", "spec\nme")
	expect(t, made.state, "stderr", "fault")
	if made.id == "" {
		t.Error("the resource has no id")
	}
}

func TestTheInterpreterGetsTheCommandAsItsLastArgument(t *testing.T) {
	made := create(t, values{
		"create": text("a b"), "interpreter": list("/bin/echo", "-n", "got"),
	})
	expect(t, made.state, "stdout", "got a b")
}

func TestDirIsWhereTheCommandRuns(t *testing.T) {
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	made := create(t, values{"create": text("pwd -P"), "dir": text(folder)})
	expect(t, made.state, "stdout", folder)
	_, err = server(t).Create(p.CreateRequest{Urn: urn(commandToken), Properties: inputs(values{
		"create": text("true"), "dir": text(filepath.Join(folder, "missing")),
	})})
	if err == nil {
		t.Error("a missing folder passed")
	}
}

func TestAPreviewRunsNothing(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	given := values{"create": text("touch " + mark), "update": text("touch " + mark)}
	s := server(t)
	request := p.CreateRequest{Urn: urn(commandToken), Properties: inputs(given), DryRun: true}
	if _, err := s.Create(request); err != nil {
		t.Fatal(err)
	}
	state := inputs(values{"stdout": text(""), "stderr": text("")})
	if _, err := s.Update(p.UpdateRequest{
		ID: "1", Urn: urn(commandToken), State: state, Inputs: inputs(given), DryRun: true,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the preview ran a command")
	}
}

func TestUpdateRunsUpdateAndKnowsThePreviousOutputs(t *testing.T) {
	made := create(t, values{"create": text("echo first; echo fault >&2")})
	changed, err := made.update(values{
		"create": text("echo first; echo fault >&2"),
		"update": text("echo $PULUMI_COMMAND_STDOUT then $PULUMI_COMMAND_STDERR"),
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, changed.state, "stdout", "first then fault")
}

func TestUpdateRunsCreateAgainWithoutAnUpdateCommand(t *testing.T) {
	changed, err := create(t, values{"create": text("echo first")}).update(
		values{"create": text("echo second")})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, changed.state, "stdout", "second")
}

func TestWithoutACommandAnUpdateKeepsTheOutputs(t *testing.T) {
	changed, err := create(t, values{"create": text("echo first")}).update(
		values{"delete": text("true")})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, changed.state, "stdout", "first")
}

func TestPreviousOutputsCanBeLeftOutOfTheEnvironment(t *testing.T) {
	changed, err := create(t, values{"create": text("echo first")}).update(values{
		"update":                 text("echo [$PULUMI_COMMAND_STDOUT]"),
		"addPreviousOutputInEnv": property.New(false),
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, changed.state, "stdout", "[]")
}

func TestDeleteRunsTheCommandOfTheState(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	made := create(t, values{
		"create": text("echo made"), "delete": text("echo $PULUMI_COMMAND_STDOUT > " + mark),
	})
	if err := made.delete(); err != nil {
		t.Fatal(err)
	}
	if seen, _ := os.ReadFile(mark); string(seen) != "made\n" {
		t.Errorf("delete left %q", seen)
	}
	if err := create(t, values{"create": text("true")}).delete(); err != nil {
		t.Errorf("without a delete command: %v", err)
	}
}

func TestAFailureCarriesTheCommandAndAllItPrinted(t *testing.T) {
	_, err := server(t).Create(p.CreateRequest{Urn: urn(commandToken), Properties: inputs(values{
		"create": text("echo seen; echo fault >&2; exit 3"), "logging": text("none"),
	})})
	for _, want := range []string{"exit status 3", "exit 3", "\nseen\n", "\nfault\n"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

func TestMatchingFilesAreReturnedAsAssetsAndAsAnArchive(t *testing.T) {
	folder := t.TempDir()
	made := create(t, values{
		"create": text("mkdir -p assets/logos src; echo logo > assets/logos/logo.svg; " +
			"echo code > src/index.js; echo hidden > src/secret.js"),
		"dir":          text(folder),
		"assetPaths":   list("assets/**", "src/**.js", "!**secret.*"),
		"archivePaths": list("src/*"),
	})
	assets := made.state.Get("assets").AsMap()
	for _, path := range []string{"assets/logos/logo.svg", "src/index.js"} {
		value, present := assets.GetOk(path)
		// An asset goes over the wire as an object with a signature.
		if !present || !value.AsMap().Get("path").Equals(text(filepath.Join(folder, path))) {
			t.Errorf("%s: %v", path, value)
		}
	}
	if assets.Len() != 2 {
		t.Errorf("assets %v", assets)
	}
	members := made.state.Get("archive").AsMap().Get("assets").AsMap()
	if _, present := members.GetOk("src/secret.js"); !present || members.Len() != 2 {
		t.Errorf("archive has %v", members)
	}
}

func TestCancelEndsTheCommandAndWhatItStarted(t *testing.T) {
	child := filepath.Join(t.TempDir(), "child")
	s := server(t)
	errs := make(chan error, 1)
	go func() {
		_, err := s.Create(p.CreateRequest{Urn: urn(commandToken), Properties: inputs(values{
			"create": text("sh -c 'trap \"echo ended > " + child + "; exit\" TERM; echo up > " + child +
				"; while :; do sleep 0.05; done' & wait"),
		})})
		errs <- err
	}()
	await(t, child, "up\n")
	begun := time.Now()
	if err := s.Cancel(); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; err == nil {
		t.Error("a cancelled command succeeded")
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("cancelling took %v", took)
	}
	await(t, child, "ended\n")
}

// await returns when the file has the text.
func await(t *testing.T, path, want string) {
	t.Helper()
	until := time.Now().Add(10 * time.Second)
	for ; time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if seen, _ := os.ReadFile(path); string(seen) == want {
			return
		}
	}
	t.Fatalf("%s never had %q", path, want)
}
