package main

import (
	"embed"
	"fmt"
)

// scripts holds what each shell loads, in a file of the shell's name.
//
//go:embed completion
var scripts embed.FS

type completionCommand struct {
	Shell string `arg:"" name:"bash|zsh|fish" enum:"bash,zsh,fish" help:"The shell to print the script for."`
}

// Help says how each shell loads its script.
func (c *completionCommand) Help() string {
	return `Prints a script by which the shell completes commands, flags and their values. Ids of connections and
jobs, and the names of an environment's own columns, are asked for over NATS, with the NATS settings of the
line and the environment, for at most a second; where nobody answers the rest is completed all the same.

Examples:
  crmbridge completion bash > crmbridge.bash
  crmbridge completion fish > crmbridge.fish

Load it into the shell that runs:
  bash: source <(crmbridge completion bash)
  zsh:  source <(crmbridge completion zsh)
  fish: crmbridge completion fish | source

For good, bash: add the line above to ~/.bashrc, or with the package bash-completion installed
  mkdir -p ~/.local/share/bash-completion/completions
  crmbridge completion bash \
    > ~/.local/share/bash-completion/completions/crmbridge

For good, zsh: add the line above to the end of ~/.zshrc, or into a folder of $fpath that compinit reads
  crmbridge completion zsh > "${fpath[1]}/_crmbridge"

For good, fish:
  mkdir -p ~/.config/fish/completions
  crmbridge completion fish > ~/.config/fish/completions/crmbridge.fish
`
}

// Run prints the script.
func (c *completionCommand) Run(std *stdio) error {
	script, err := scripts.ReadFile("completion/" + c.Shell)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "%s", script)
	return err
}
