package mysql_test

import (
	"github.com/tailer-io/tailer/internal/mysql"
	"github.com/tailer-io/tailer/internal/pipeline"
)

var _ pipeline.Source = (*mysql.Source)(nil)
