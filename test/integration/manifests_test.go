// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"os"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// manifest is an object of ours in a text that a user copies from: up to the end of the code block, of the input or of the file.
var manifest = regexp.MustCompile("(?ms)^( *)apiVersion: autoscaler\\.vpsie\\.com/v1alpha1\n(.*?)(^```|^ *END$|^---$|\\z)")

var _ = DescribeTable("The API server accepts what users are shown in", Label("basic"), func(ctx context.Context, file string) {
	text, err := os.ReadFile("../../" + file)
	Expect(err).NotTo(HaveOccurred())
	shown := manifest.FindAllStringSubmatch(string(text), -1)
	Expect(shown).NotTo(BeEmpty(), "no manifest was found")
	for _, match := range shown {
		indent, body := match[1], "\n"+match[2]
		object := parse("apiVersion: autoscaler.vpsie.com/v1alpha1" + strings.ReplaceAll(body, "\n"+indent, "\n"))
		Expect(k8s.Create(ctx, object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))).To(Succeed(), "%v", object)
	}
},
	Entry("the README", "README.md"),
	Entry("the notes of the chart", "charts/vpsie-autoscaler/templates/NOTES.txt"),
	Entry("the end-to-end tests", "test/e2e/testdata/nodegroup.yaml"),
	Entry("the demo", "cmd/sandbox/demo/testdata/town/nodegroup.yaml"),
)
