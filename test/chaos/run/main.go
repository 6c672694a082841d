// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Command run makes a series of chaos runs and ends with one line that says what came of it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/chaos"
)

func main() {
	var o chaos.Options
	flag.IntVar(&o.Runs, "runs", 2000, "how many runs")
	flag.Int64Var(&o.Seed, "seed", 1, "what the runs are made from")
	flag.IntVar(&o.First, "first", 0, "number of the first run; with -runs=1 a failing run is repeated alone")
	flag.Float64Var(&o.Intensity, "intensity", 1, "how often something goes wrong")
	verbose := flag.Bool("verbose", false, "log what the controller does")
	flag.Parse()
	if flag.NArg() > 0 || o.Runs < 1 || o.First < 0 || o.Intensity < 0 {
		fmt.Fprintln(os.Stderr, "chaos: want -runs of at least 1, -first and -intensity of at least 0, and no other arguments")
		os.Exit(2)
	}
	logger := logr.Discard()
	if *verbose {
		logger = funcr.New(func(prefix, args string) { fmt.Fprintln(os.Stderr, prefix, args) }, funcr.Options{Verbosity: 1})
	}
	log.SetLogger(logger)
	os.Exit(run(o))
}

func run(o chaos.Options) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	began := time.Now()
	step := max(o.Runs/10, 1)
	report, err := chaos.Run(ctx, o, func(done int) {
		if done%step == 0 {
			fmt.Fprintf(os.Stderr, "%d of %d runs, %s\n", done, o.Runs, time.Since(began).Round(time.Second))
		}
	})
	for _, failure := range report.Failures {
		fmt.Printf("run %d of seed %d failed; repeat it: go run ./test/chaos/run -seed=%d -first=%d -runs=1 -intensity=%g\n%s\n\n",
			failure.Run, failure.Seed, failure.Seed, failure.Run, o.Intensity, failure.Message)
	}
	fmt.Println("kills by point of a machine's life:")
	for _, point := range chaos.Points() {
		fmt.Printf("  %6d  %s\n", report.Points[point], point)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	fmt.Println(&report)
	if err != nil || report.Failed() {
		return 1
	}
	return 0
}
