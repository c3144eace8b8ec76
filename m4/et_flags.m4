# ET_FLAGS(VARIABLE, FLAGS...)
# Appends to VARIABLE each of the blank-separated FLAGS that the C compiler takes without
# a warning.
AC_DEFUN([ET_FLAGS], [
  for et_flag in m4_normalize([$2]); do
    AS_VAR_PUSHDEF([et_cache], [et_cv_flag_$et_flag])
    AC_CACHE_CHECK([whether $CC accepts $et_flag], [et_cache], [
      et_saved_cflags=$CFLAGS
      CFLAGS="$CFLAGS -Werror $et_flag"
      AC_COMPILE_IFELSE([AC_LANG_PROGRAM()], [AS_VAR_SET([et_cache], [yes])], [AS_VAR_SET([et_cache], [no])])
      CFLAGS=$et_saved_cflags
    ])
    AS_VAR_IF([et_cache], [yes], [AS_VAR_APPEND([$1], [" $et_flag"])])
    AS_VAR_POPDEF([et_cache])
  done
])

# ET_ISA(NAME, FLAGS, HEADER, EXPRESSION)
# Finds out whether kernels for the instruction set NAME (in capitals) can be compiled:
# with FLAGS, a program that includes HEADER and evaluates EXPRESSION must compile. Then
# ET_WITH_NAME is defined, the automake conditional WITH_NAME holds and NAME_CFLAGS are
# the FLAGS.
AC_DEFUN([ET_ISA], [
  et_with=no
  if test "$et_simd_wanted" = yes; then
    AC_CACHE_CHECK([whether $CC compiles $1 kernels], [et_cv_isa_$1], [
      et_saved_cflags=$CFLAGS
      CFLAGS="$CFLAGS -Werror $2"
      AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <$3>]], [[$4;]])], [et_cv_isa_$1=yes], [et_cv_isa_$1=no])
      CFLAGS=$et_saved_cflags
    ])
    et_with=$et_cv_isa_$1
  fi
  if test "$et_with" = yes; then
    AC_DEFINE([ET_WITH_$1], [1], [Define to 1 if the $1 kernels are built.])
    et_isas="$et_isas m4_tolower([$1])"
  fi
  AM_CONDITIONAL([WITH_$1], [test "$et_with" = yes])
  AC_SUBST([$1_CFLAGS], ["$2"])
])
