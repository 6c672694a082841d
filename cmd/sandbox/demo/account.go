// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
)

// colour is an SGR code of a terminal.
type colour string

const (
	plain colour = ""
	bold  colour = "1"
	dim   colour = "2"
	red   colour = "31"
	green colour = "32"
	cyan  colour = "36"
)

// account is where the story is told: line by line, so that it reads the same on a terminal, in a pipe and in a file.
type account struct {
	out      io.Writer
	coloured bool
}

// newAccount writes in colours to a terminal whose user does not object to them (https://no-color.org).
func newAccount(out io.Writer) *account {
	file, ok := out.(interface{ Fd() uintptr })
	return &account{out: out, coloured: ok && isatty.IsTerminal(file.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (a *account) paint(c colour, text string) string {
	if !a.coloured || c == plain {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// head prints a title and what is to be seen below it.
func (a *account) head(title string, lead ...string) {
	a.say("")
	a.say("%s", a.paint(bold, title))
	for _, text := range lead {
		a.say("%s", text)
	}
}

// chapter prints a head and leaves room below it.
func (a *account) chapter(title string, lead ...string) {
	a.head(title, lead...)
	a.say("")
}

func (a *account) say(format string, args ...any) {
	fmt.Fprintf(a.out, format+"\n", args...)
}

// block prints a text of several lines.
func (a *account) block(text string) { a.say("%s", strings.TrimRight(text, "\n")) }

// tell prints one change.
func (a *account) tell(l line) {
	a.say("%s", a.lineText(l))
}

func (a *account) lineText(l line) string {
	at := a.paint(dim, fmt.Sprintf("%7.1fs", l.At.Seconds()))
	if l.Subject == "" {
		return fmt.Sprintf("%s  %s", at, a.paint(l.Colour, l.Text))
	}
	return fmt.Sprintf("%s  %s  %s", at, a.paint(cyan, fmt.Sprintf("%-16s", l.Subject)), a.paint(l.Colour, l.Text))
}
