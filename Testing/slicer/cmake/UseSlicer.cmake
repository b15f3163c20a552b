# What an extension with scripted modules uses of Slicer's own UseSlicer.cmake. With -DSLICER_SOURCE=<Slicer's sources>
# the macros are Slicer's own, but for CTK's that copies the files.
include(CTest)
find_program(Slicer_PYTHON NAMES python3 python REQUIRED)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-${Slicer_VERSION}/qt-scripted-modules")

macro(ctkMacroCompilePythonScript)
  cmake_parse_arguments(MY "NO_INSTALL_SUBDIR;GLOBAL_TARGET" "TARGET_NAME;DESTINATION_DIR;INSTALL_DIR" "SCRIPTS;RESOURCES" ${ARGN})
  set(copies "")
  foreach(file ${MY_SCRIPTS} ${MY_RESOURCES})
    add_custom_command(
      OUTPUT "${MY_DESTINATION_DIR}/${file}"
      DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${file}"
      COMMAND ${CMAKE_COMMAND} -E copy "${CMAKE_CURRENT_SOURCE_DIR}/${file}" "${MY_DESTINATION_DIR}/${file}")
    list(APPEND copies "${MY_DESTINATION_DIR}/${file}")
  endforeach()
  add_custom_target(Copy${MY_TARGET_NAME} ALL DEPENDS ${copies})
  add_custom_target(Compile${MY_TARGET_NAME} ALL COMMAND ${Slicer_PYTHON} -m compileall -q "${MY_DESTINATION_DIR}")
  add_dependencies(Compile${MY_TARGET_NAME} Copy${MY_TARGET_NAME})
  install(DIRECTORY "${MY_DESTINATION_DIR}/" DESTINATION "${MY_INSTALL_DIR}" COMPONENT RuntimeLibraries)
endmacro()

if(SLICER_SOURCE)
  include(ExternalData)
  set(Slicer_USE_PYTHONQT TRUE)
  set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
  set(Slicer_LAUNCHER_EXECUTABLE Slicer)
  set(Slicer_ExternalData_DATA_MANAGEMENT_TARGET Data)
  file(GLOB_RECURSE template "${SLICER_SOURCE}/*/qSlicerModuleGenericTest.py.in")
  get_filename_component(Slicer_PYTHON_MODULE_TEST_TEMPLATES_DIR "${template}" DIRECTORY)
  foreach(macro BuildScriptedModule ConfigureGenericPythonModuleTests PythonTesting)
    include("${SLICER_SOURCE}/CMake/SlicerMacro${macro}.cmake")
  endforeach()
  return()
endif()

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MODULE "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MODULE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown keywords given to slicerMacroBuildScriptedModule(): ${MODULE_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file ${MODULE_SCRIPTS} ${MODULE_RESOURCES})
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule(SCRIPTS) given nonexistent file or directory '${file}'")
    endif()
  endforeach()
  ctkMacroCompilePythonScript(
    TARGET_NAME ${MODULE_NAME}
    SCRIPTS ${MODULE_SCRIPTS}
    RESOURCES ${MODULE_RESOURCES}
    DESTINATION_DIR "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}"
    INSTALL_DIR "${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
endmacro()

# The real one starts Slicer; here the script must exist and be Python.
function(slicer_add_python_unittest)
  cmake_parse_arguments(TEST "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  get_filename_component(name ${TEST_SCRIPT} NAME_WE)
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${TEST_SCRIPT}")
    message(FATAL_ERROR "slicer_add_python_unittest: ${TEST_SCRIPT} does not exist")
  endif()
  add_test(NAME py_${name} COMMAND ${Slicer_PYTHON} -m py_compile "${CMAKE_CURRENT_SOURCE_DIR}/${TEST_SCRIPT}")
endfunction()
