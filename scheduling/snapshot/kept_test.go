// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func TestWhatIsMadeOfAListIsKeptUntilTheListIsAnother(t *testing.T) {
	claims := []*corev1.PersistentVolumeClaim{build.MakePVC("a", "c").Obj()}
	objects := snapshot.Objects{PersistentVolumeClaims: claims, Nodes: []*corev1.Node{build.MakeNode("a").Obj()}}
	var series snapshot.Series
	made := 0
	ask := func(purpose string) int {
		t.Helper()
		s, err := series.Next(objects)
		if err != nil {
			t.Fatal(err)
		}
		return snapshot.Keep(s.Empty(), purpose, s.Objects().PersistentVolumeClaims, func() int { made++; return made })
	}
	if first := ask("index"); first != 1 {
		t.Fatalf("got %d", first)
	}
	objects.Nodes = []*corev1.Node{build.MakeNode("a").Obj(), build.MakeNode("b").Obj()}
	if again := ask("index"); again != 1 {
		t.Error("it was made again though only nodes have changed")
	}
	if other := ask("count"); other != 2 {
		t.Error("another purpose got what was made for the first")
	}
	objects.PersistentVolumeClaims = []*corev1.PersistentVolumeClaim{claims[0], build.MakePVC("b", "c").Obj()}
	if changed := ask("index"); changed != 3 {
		t.Error("it was kept for another list")
	}
	objects.PersistentVolumeClaims = nil
	if none := ask("index"); none != 4 {
		t.Error("it was kept for a list of nothing")
	}
}
