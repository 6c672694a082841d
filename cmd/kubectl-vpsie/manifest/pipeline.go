// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"runtime"
)

// pipeline decodes units on all processors and gives the results back in the order in which the units came.
type pipeline struct {
	decode  func(unit) decoded
	current *batch
	work    chan *batch
	ordered chan *batch
	results []decoded // once drained is closed
	drained chan struct{}
}

// batch is units that are decoded together: handing them over one at a time would cost more than decoding them.
type batch struct {
	units   []unit
	results []decoded
	done    chan struct{}
}

const batchSize = 64

func newPipeline(decode func(unit) decoded) *pipeline {
	workers := runtime.GOMAXPROCS(0)
	p := &pipeline{decode: decode, work: make(chan *batch, workers), ordered: make(chan *batch, 4*workers), drained: make(chan struct{})}
	for range workers {
		go func() {
			for b := range p.work {
				b.run(decode)
			}
		}()
	}
	go func() {
		defer close(p.drained)
		for b := range p.ordered {
			<-b.done
			p.results = append(p.results, b.results...)
		}
	}()
	return p
}

func (b *batch) run(decode func(unit) decoded) {
	b.results = make([]decoded, 0, len(b.units))
	for _, u := range b.units {
		b.results = append(b.results, decode(u))
	}
	b.units = nil
	close(b.done)
}

// add takes a unit. It waits while many are on their way, so that the text of a large file is never there as a whole.
func (p *pipeline) add(u unit) {
	if p.current == nil {
		p.current = &batch{done: make(chan struct{})}
	}
	p.current.units = append(p.current.units, u)
	if len(p.current.units) == batchSize {
		p.flush()
	}
}

func (p *pipeline) flush() {
	if p.current != nil {
		p.ordered <- p.current
		p.work <- p.current
		p.current = nil
	}
}

// finish waits for all results. Items that had to wait for the head of their list are decoded now.
func (p *pipeline) finish() []decoded {
	p.flush()
	close(p.work)
	close(p.ordered)
	<-p.drained
	for _, d := range p.results {
		if d.head != nil {
			d.head.apiVersion, d.head.kind, d.head.broken = d.apiVersion, d.kind, len(d.problems) > 0
		}
	}
	var waiting *pipeline
	for _, d := range p.results {
		if d.waiting != nil && !d.waiting.list.broken {
			if waiting == nil {
				waiting = newPipeline(p.decode)
			}
			u := *d.waiting
			u.apiVersion, u.kind = u.list.apiVersion, u.list.kind
			waiting.add(u)
		}
	}
	if waiting == nil {
		return p.results
	}
	late := waiting.finish()
	for i, d := range p.results {
		if d.waiting != nil && !d.waiting.list.broken {
			p.results[i], late = late[0], late[1:]
		}
	}
	return p.results
}
