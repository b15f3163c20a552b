# What an extension with scripted modules uses of Slicer's own UseSlicer.cmake.
include(CTest)
find_program(Slicer_PYTHON NAMES python3 python REQUIRED)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-${Slicer_VERSION}/qt-scripted-modules")

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MODULE "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MODULE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown keywords given to slicerMacroBuildScriptedModule(): ${MODULE_UNPARSED_ARGUMENTS}")
  endif()
  set(folder "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
  set(copies "")
  foreach(file ${MODULE_SCRIPTS} ${MODULE_RESOURCES})
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule: ${file} does not exist")
    endif()
    add_custom_command(
      OUTPUT "${folder}/${file}"
      DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${file}"
      COMMAND ${CMAKE_COMMAND} -E copy "${CMAKE_CURRENT_SOURCE_DIR}/${file}" "${folder}/${file}")
    list(APPEND copies "${folder}/${file}")
  endforeach()
  add_custom_target(Copy${MODULE_NAME} ALL DEPENDS ${copies})
  add_custom_target(Compile${MODULE_NAME} ALL COMMAND ${Slicer_PYTHON} -m compileall -q "${folder}")
  add_dependencies(Compile${MODULE_NAME} Copy${MODULE_NAME})
  install(DIRECTORY "${folder}/" DESTINATION "${Slicer_QTSCRIPTEDMODULES_LIB_DIR}" COMPONENT RuntimeLibraries)
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
