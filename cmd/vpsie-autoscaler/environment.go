// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/samber/lo"
	"github.com/spf13/pflag"
)

const environmentPrefix = "VPSIE_AUTOSCALER_"

func environmentName(flag string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that were not given on the command line. A variable with our prefix that names no flag is refused:
// whoever set it believes that it works.
func fromEnvironment(flags *pflag.FlagSet, environment []string) error {
	known := map[string]*pflag.Flag{}
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Name != "help" {
			known[environmentName(flag.Name)] = flag
		}
	})
	var failures []error
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, environmentPrefix) || isServiceLink(name, value) {
			continue
		}
		flag, ok := known[name]
		switch {
		case !ok:
			failures = append(failures, fmt.Errorf("environment variable %s: there is no such setting; did you mean %s?", name, nearest(name, known)))
		case flag.Changed: // on the command line, which wins
		default:
			if err := flags.Set(flag.Name, value); err != nil {
				failures = append(failures, fmt.Errorf("environment variable %s: %w", name, err))
			}
		}
	}
	return joinSorted(failures)
}

// Kubernetes gives every pod variables for the Services of its namespace; those of a Service called vpsie-autoscaler, or
// vpsie-autoscaler-metrics, have our prefix.
var (
	serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	servicePort = regexp.MustCompile(`_PORT=(tcp|udp|sctp)://`)
)

func isServiceLink(name, value string) bool {
	return serviceLink.MatchString(name) || servicePort.MatchString(name+"="+value)
}

// nearest is the known name with most of the words that were written; of those the one that the fewest letters make of it, then the
// first in the alphabet.
func nearest(name string, known map[string]*pflag.Flag) string {
	names := make([]string, 0, len(known))
	for candidate := range known {
		names = append(names, candidate)
	}
	return slices.MinFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(shared(name, b), shared(name, a)), cmp.Compare(distance(name, a), distance(name, b)), cmp.Compare(a, b))
	})
}

// shared counts the words that two names have in common after the prefix.
func shared(name, other string) int {
	words := func(name string) []string { return strings.Split(strings.TrimPrefix(name, environmentPrefix), "_") }
	return len(lo.Intersect(words(name), words(other)))
}

// distance is Levenshtein's: how many letters have to be put in, taken out or changed.
func distance(from, to string) int {
	row := make([]int, len(to)+1)
	for i := range row {
		row[i] = i
	}
	for i := range len(from) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(to) {
			change := diagonal
			if from[i] != to[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}
