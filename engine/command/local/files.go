package local

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gobwas/glob"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/archive"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/asset"
)

// collect puts the files that assetPaths and archivePaths match into the state.
func collect(dir string, state *CommandState) error {
	if state.AssetPaths != nil {
		assets, err := matching(dir, *state.AssetPaths)
		if err != nil {
			return err
		}
		state.Assets = &assets
	}
	if state.ArchivePaths == nil {
		return nil
	}
	assets, err := matching(dir, *state.ArchivePaths)
	if err != nil {
		return err
	}
	members := make(map[string]any, len(assets))
	for path, one := range assets {
		members[path] = one
	}
	if state.Archive, err = archive.FromAssets(members); err != nil {
		return fmt.Errorf("archive the files of archivePaths: %w", err)
	}
	return nil
}

// rule is one glob; a rule that takes out is written with a leading "!".
type rule struct {
	matches  glob.Glob
	takesOut bool
}

func rulesOf(patterns []string) ([]rule, error) {
	rules := make([]rule, 0, len(patterns))
	for _, pattern := range patterns {
		plain, takesOut := strings.CutPrefix(pattern, "!")
		compiled, err := glob.Compile(plain, '/')
		if err != nil {
			return nil, fmt.Errorf("path glob %q: %w", pattern, err)
		}
		rules = append(rules, rule{matches: compiled, takesOut: takesOut})
	}
	return rules, nil
}

// matching returns the files below dir by their path in it. The last rule that matches decides.
func matching(dir string, patterns []string) (map[string]*resource.Asset, error) {
	rules, err := rulesOf(patterns)
	if err != nil {
		return nil, err
	}
	// The engine reads the files later, from a working folder of its own.
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder %q: %w", dir, err)
	}
	found := map[string]*resource.Asset{}
	err = fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !taken(rules, path) {
			return err
		}
		found[path], err = asset.FromPath(filepath.Join(root, path))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("collect the files below %s: %w", root, err)
	}
	return found, nil
}

func taken(rules []rule, path string) bool {
	in := false
	for _, one := range rules {
		if one.matches.Match(path) {
			in = !one.takesOut
		}
	}
	return in
}
